"""What scenario tests stand on: an XMPP client that says exactly what it is told, patterns for
what must come back, and a server started for one test and stopped after it.

element     XML as trees, and a stream of it cut into events
pattern     what an expected element looks like, and why another one is not it
sasl        the client's half of the SASL mechanisms
connection  one TCP connection to the server, with TLS and everything up to resource binding
settings    a play's settings laid over the default ones
server      linnetd (or a peer to compare with) in a folder of its own
case        a unittest case with a server
play        the language of *.play files
"""
