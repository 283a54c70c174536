"""`heed demo`: the whole loop, played by simulated people over real HTTP.

The people, the reviewer and the shop know the truth of their little world; the server, the trainer
and the gate learn of it only what is said to them through the API.
"""

from serving.demo.play import play

__all__ = ["play"]
