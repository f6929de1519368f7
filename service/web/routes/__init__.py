"""The addresses of pages."""
