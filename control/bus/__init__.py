"""How processes of a cluster talk: a fast, forgetful bus, and numbered streams on top of it that notice a
loss.
"""
