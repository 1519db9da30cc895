"""The object stores, each with its vendor's library, which is imported when a store is opened."""
