"""The scene in one page that a browser opens from disk: it is decoded, sorted and drawn by the page's own JavaScript.

Python puts the parts together (nsff.viewer.html); the program is in assets/, one subject a file.
"""
