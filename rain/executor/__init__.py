"""The process in which the tasks of a user run; imports neither tornado nor zmq."""
