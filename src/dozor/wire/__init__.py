"""What travels over the REST API: each request and response written once, for server and clients."""
