"""How the arrays of each dataset come out of its original files, one file each."""
