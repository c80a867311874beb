"""What is wrong between this machine and the API, found step by step and said in plain words."""
