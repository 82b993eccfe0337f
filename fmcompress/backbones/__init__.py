"""What ``train`` trains: the vanilla factorization machine, the yardstick of every compressed one."""
