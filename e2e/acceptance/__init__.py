"""What Millgate promises, on real pods: real clients, a real registry, real outages. It takes half an hour."""
