"""The container lab: Debian hosts with systemd, reached by SSH on loopback ports, like real ones.

``python -m tests.lab up`` starts one, ``down`` removes it. Any number of labs live side by side, each with a name, a
network and a folder ``.lab/<name>`` of its own.
"""
