"""RFC 6962 Merkle log in C2SP formats, statements and witnesses."""
