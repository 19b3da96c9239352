"""What an agency decides: typed policy files, their profiles, and the signature under which they travel."""
