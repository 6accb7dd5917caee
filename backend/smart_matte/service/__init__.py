"""The persistent backend: a broker that owns the sockets and a worker that computes."""
