"""The console's pages, one module each; what declares a `PAGE` is found by itself."""
