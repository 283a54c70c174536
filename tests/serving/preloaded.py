"""What the process that servers are forked from has loaded before the first one. Knows no server.

Imported there and nowhere else: everything is left out of collections of garbage, so that no child
looks through it, and copies its pages, before it answers.
"""

import gc

import uvicorn.loops.uvloop
import uvicorn.protocols.websockets.auto

import serving.cli
import serving.commands.server
import serving.commands.up
import serving.engines.echo

__all__ = ["serving", "uvicorn"]

gc.collect()
gc.freeze()
