"""Where minted credentials are kept."""
