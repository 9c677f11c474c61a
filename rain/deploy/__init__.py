"""How servers and workers come to be started; starts programs by module name, imports none of them."""
