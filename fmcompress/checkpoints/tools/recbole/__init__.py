"""RecBole's FM."""
