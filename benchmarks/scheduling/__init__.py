"""How good schedules are: the real server's machine in virtual time, against schedulers that know everything."""
