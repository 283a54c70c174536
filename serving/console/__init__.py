"""The console: pages for the people who review, decide and chat; thin over what the API calls.

Importing this loads no NiceGUI: `mount` does, where the console is one of the process's roles.
"""
