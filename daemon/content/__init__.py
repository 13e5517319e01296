"""What the box fetches from its fleet: verified as it comes, kept within a quota, versions never go back."""
