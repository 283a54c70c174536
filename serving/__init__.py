"""What people use: the HTTP surface, engines, scheduler and command line. The composition root."""
