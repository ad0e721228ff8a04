/* xml/ns.h - namespaces by name, each one object, so that equal pointers mean equal names.
 * To add one: a line here, a line in ns.c. */
#pragma once

#define NS_LIST(X)                                                                                 \
	X(NS_CLIENT, "jabber:client")                                                              \
	X(NS_SERVER, "jabber:server")                                                              \
	X(NS_STREAM, "http://etherx.jabber.org/streams")                                           \
	X(NS_STREAMS, "urn:ietf:params:xml:ns:xmpp-streams")                                       \
	X(NS_STANZAS, "urn:ietf:params:xml:ns:xmpp-stanzas")                                       \
	X(NS_TLS, "urn:ietf:params:xml:ns:xmpp-tls")                                               \
	X(NS_SASL, "urn:ietf:params:xml:ns:xmpp-sasl")                                             \
	X(NS_SASL_CB, "urn:xmpp:sasl-cb:0")                                                        \
	X(NS_BIND, "urn:ietf:params:xml:ns:xmpp-bind")                                             \
	X(NS_SESSION, "urn:ietf:params:xml:ns:xmpp-session")                                       \
	X(NS_XML, "http://www.w3.org/XML/1998/namespace")                                          \
	X(NS_AUTH, "jabber:iq:auth")                                                               \
	X(NS_FEATURE_AUTH, "http://jabber.org/features/iq-auth")                                   \
	X(NS_REGISTER, "jabber:iq:register")                                                       \
	X(NS_FEATURE_REGISTER, "http://jabber.org/features/iq-register")                           \
	X(NS_DISCO_INFO, "http://jabber.org/protocol/disco#info")                                  \
	X(NS_DISCO_ITEMS, "http://jabber.org/protocol/disco#items")                                \
	X(NS_DATA, "jabber:x:data")                                                                \
	X(NS_PING, "urn:xmpp:ping")                                                                \
	X(NS_VERSION, "jabber:iq:version")                                                         \
	X(NS_TIME, "urn:xmpp:time")                                                                \
	X(NS_LAST, "jabber:iq:last")                                                               \
	X(NS_ROSTER, "jabber:iq:roster")                                                           \
	X(NS_CPUTIME, "ejabberd:cputime")                                                          \
	X(NS_LIMITS, "urn:xmpp:stream-limits:0")

#define NS_DECLARE(name, text) extern const char name[];
NS_LIST(NS_DECLARE)
#undef NS_DECLARE

/* The shared pointer of a well-known namespace, element or attribute name, or NULL. Any thread. */
const char *name_known(const char *text, unsigned len);
