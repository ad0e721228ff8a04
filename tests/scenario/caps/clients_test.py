#!/usr/bin/python3
"""XEP-0115 and XEP-0390: what clients can is asked once for each hash, and verified."""

import base64
import hashlib
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))

from harness.console import DONE, FAILED, ConsoleCase, main  # noqa: E402

NODE = 'http://code.google.com/p/exodus'
PC = "<identity category='client' type='pc' name='Exodus 0.9.1'/>"
FEATURES = ['http://jabber.org/protocol/caps', 'http://jabber.org/protocol/disco#info',
            'http://jabber.org/protocol/disco#items', 'http://jabber.org/protocol/muc']
EXODUS = 'QgayPKawpkPSDYmwT/WM94uAlu0='     # XEP-0115 §5.2


def var(*features):
    return ''.join("<feature var='%s'/>" % f for f in features)


def ver(*features, identity='client/pc//Exodus 0.9.1', algorithm='sha1'):
    text = ''.join(s + '<' for s in (identity, *sorted(features)))
    return base64.b64encode(hashlib.new(algorithm, text.encode()).digest()).decode()


class Clients(ConsoleCase):
    over = 'modules:\n    mod_caps: {}\n'

    def login(self, name, tls='starttls'):
        self.server.register(name + '@localhost')
        client = self.server.login(name + '@localhost/a', tls=tls)
        client.jid = name + '@localhost/a'
        return client

    def says(self, client, caps):
        client.send('<presence>%s</presence>' % caps)
        client.expect("<presence from='%s'/>" % client.jid)

    def says_hash(self, client, hash_=EXODUS, algorithm='sha-1'):
        self.says(client, "<c xmlns='http://jabber.org/protocol/caps' hash='%s' node='%s' ver='%s'/>"
                  % (algorithm, NODE, hash_))

    def asked(self, client, node):
        """Is asked what it can; the question's id."""
        said = {}
        client.expect("<iq type='get' from='localhost' to='%s' id='${id}'><info:query node='%s'/></iq>"
                      % (client.jid, node), variables=said)
        return said['id']

    def answers(self, client, question, inside):
        client.send("<iq type='result' to='localhost' id='%s'>"
                    "<query xmlns='http://jabber.org/protocol/disco#info'>%s</query></iq>" % (question, inside))
        self.sync(client)

    def sync(self, client):
        """All that the client has sent was read, and it was sent nothing else meanwhile."""
        client.send("<iq type='get' id='sync' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>")
        client.expect("<iq type='result' id='sync'/>")

    def known(self, client):
        return [row['feature'] for row in self.ctl.json('caps', client.jid)]

    def not_known(self, client):
        self.assertIn('nothing is known', self.refused(FAILED, 'caps', client.jid))

    def metric(self, name):
        for line in self.done('metrics').splitlines():
            if line.startswith('linnet_caps_%s ' % name):
                return int(line.split()[1])
        raise AssertionError(name)

    def asks_and_answers(self, client, inside, hash_=EXODUS):
        self.says_hash(client, hash_)
        self.answers(client, self.asked(client, '%s#%s' % (NODE, hash_)), inside)

    def test_one_is_asked_for_all(self):
        """XEP-0115 §5.4 3.8, §8.2"""
        romeo, juliet = self.login('romeo'), self.login('juliet')
        self.not_known(romeo)
        self.asks_and_answers(romeo, PC + var(*reversed(FEATURES)))
        self.assertEqual(self.known(romeo), FEATURES)
        self.says_hash(juliet)
        self.sync(juliet)
        self.assertEqual(self.known(juliet), FEATURES)
        self.assertEqual((self.metric('asked_total'), self.metric('verified_total')), (1, 1))
        for client in romeo, juliet:
            client.close()

    def test_known_after_a_restart(self):
        """XEP-0115 §8.2: across sessions; ours: across the server's"""
        romeo = self.login('romeo')
        self.asks_and_answers(romeo, PC + var(*FEATURES))
        self.server.stop()
        self.server.start()
        romeo = self.server.login('romeo@localhost/b')
        romeo.jid = 'romeo@localhost/b'
        self.says_hash(romeo)
        self.wait_until_known(romeo)
        self.sync(romeo)
        self.assertEqual(self.known(romeo), FEATURES)
        self.assertEqual((self.metric('asked_total'), self.metric('loaded_total')), (0, 1))
        self.assertEqual(self.ctl.json('caps-clear'), {'cleared': 1})
        self.says_hash(romeo, 'another')
        self.asked(romeo, NODE + '#another')
        self.says_hash(romeo)
        self.asked(romeo, '%s#%s' % (NODE, EXODUS))
        romeo.close()

    def test_known_in_another_process(self):
        """A session that a new server has taken over is known by the next that its client sends."""
        romeo = self.login('romeo', tls='none')     # with TLS it would have to connect again
        self.asks_and_answers(romeo, PC + var(*FEATURES))
        self.done('upgrade')
        self.sync(romeo)
        self.wait_until_known(romeo)
        self.assertEqual(self.known(romeo), FEATURES)
        self.assertEqual(self.metric('asked_total'), 0)
        romeo.close()

    def wait_until_known(self, client):
        """The database is asked beside the client's stream."""
        for _ in range(1000):
            if self.ctl.run('caps', client.jid).returncode == DONE:
                return
            time.sleep(0.01)
        self.fail('not known: ' + client.jid)

    def test_a_wrong_hash_stands_for_one_client_alone(self):
        """XEP-0115 §5.4 3.9"""
        romeo, juliet = self.login('romeo'), self.login('juliet')
        self.asks_and_answers(romeo, PC + var('urn:liar'))
        self.assertEqual(self.known(romeo), ['urn:liar'])
        self.asks_and_answers(juliet, PC + var(*FEATURES))
        self.assertEqual(self.known(juliet), FEATURES)
        self.assertEqual(self.known(romeo), ['urn:liar'])
        self.assertEqual((self.metric('single_total'), self.metric('verified_total')), (1, 1))
        for client in romeo, juliet:
            client.close()

    def test_features_hidden_in_a_form(self):
        """XEP-0115 §8.3: the right hash, and yet not what the others mean"""
        romeo, juliet = self.login('romeo'), self.login('juliet')
        hash_ = ver('urn:a', 'urn:b', 'urn:c')
        form = ("<x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE' type='hidden'>"
                "<value>urn:b</value></field><field var='urn:c'/></x>")
        self.asks_and_answers(romeo, PC + var('urn:a') + form, hash_)
        self.assertEqual(self.known(romeo), ['urn:a'])
        self.asks_and_answers(juliet, PC + var('urn:a', 'urn:b', 'urn:c'), hash_)
        self.assertEqual(self.known(juliet), ['urn:a', 'urn:b', 'urn:c'])
        for client in romeo, juliet:
            client.close()

    def test_an_ill_formed_answer(self):
        """XEP-0115 §5.4 3.4"""
        romeo = self.login('romeo')
        self.asks_and_answers(romeo, PC + var('urn:a', 'urn:a'))
        self.not_known(romeo)
        self.assertEqual(self.metric('refused_total'), 1)
        romeo.close()

    def test_an_unknown_algorithm(self):
        """XEP-0115 §5.4 2"""
        romeo, juliet = self.login('romeo'), self.login('juliet')
        for client in romeo, juliet:
            self.says_hash(client, 'xyz', 'md5')
            self.answers(client, self.asked(client, NODE + '#xyz'), PC + var('urn:a'))
            self.assertEqual(self.known(client), ['urn:a'])
            client.close()

    def test_the_old_format(self):
        """XEP-0115 §5.4 1, §11"""
        romeo = self.login('romeo')
        self.says(romeo, "<c xmlns='http://jabber.org/protocol/caps' node='%s' ver='0.9'/>" % NODE)
        self.says(romeo, '')
        self.sync(romeo)
        self.not_known(romeo)
        romeo.close()

    def test_an_error_and_what_was_not_asked(self):
        romeo = self.login('romeo')
        self.says_hash(romeo)
        question = self.asked(romeo, '%s#%s' % (NODE, EXODUS))
        answer = PC + var(*FEATURES)
        self.answers(romeo, 'caps-1', answer)
        self.not_known(romeo)
        romeo.send("<iq type='error' to='localhost' id='%s'><error type='cancel'>"
                   "<service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>" % question)
        self.answers(romeo, question, answer)
        self.not_known(romeo)
        romeo.close()

    def test_others_do_not_answer_for_it(self):
        romeo, juliet = self.login('romeo'), self.login('juliet')
        self.says_hash(romeo)
        question = self.asked(romeo, '%s#%s' % (NODE, EXODUS))
        self.answers(juliet, question, PC + var('urn:a'))
        self.not_known(romeo)
        self.answers(romeo, question, PC + var(*FEATURES))
        self.assertEqual(self.known(romeo), FEATURES)
        for client in romeo, juliet:
            client.close()

    def test_another_hash_and_none(self):
        """XEP-0115 §6.1, §8.4"""
        romeo = self.login('romeo')
        self.asks_and_answers(romeo, PC + var(*FEATURES))
        self.says(romeo, '<show>away</show>')
        self.assertEqual(self.known(romeo), FEATURES, 'a presence without caps changes nothing')
        more = ver('urn:a', 'urn:b+notify')
        self.asks_and_answers(romeo, PC + var('urn:a', 'urn:b+notify'), more)
        self.assertEqual(self.known(romeo), ['urn:a', 'urn:b+notify'])
        self.says_hash(romeo)
        self.sync(romeo)
        self.assertEqual(self.known(romeo), FEATURES)
        romeo.send("<presence type='unavailable'/>")
        romeo.expect("<presence type='unavailable'/>")
        self.sync(romeo)
        self.not_known(romeo)
        romeo.close()

    def test_version_2(self):
        """XEP-0390 §5.1, §4.4: asked by the node of the hash"""
        romeo = self.login('romeo')
        text = 'urn:a\x1f\x1c' + 'client\x1fpc\x1fen\x1fExodus 0.9.1\x1f\x1e\x1c' + '\x1c'
        hash_ = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        self.says(romeo, "<c xmlns='urn:xmpp:caps'><hash xmlns='urn:xmpp:hashes:2' algo='md5'>x</hash>"
                         "<hash xmlns='urn:xmpp:hashes:2' algo='sha-256'>%s</hash></c>"
                         "<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='n' ver='v'/>" % hash_)
        question = self.asked(romeo, 'urn:xmpp:caps#sha-256.' + hash_)
        self.answers(romeo, question, "<identity xml:lang='en' category='client' type='pc' name='Exodus 0.9.1'/>"
                     + var('urn:a'))
        self.assertEqual(self.known(romeo), ['urn:a'])
        self.assertEqual(self.metric('verified_total'), 1)
        romeo.close()

    def test_sessions_from_before_the_module(self):
        self.server.write_settings('')
        self.done('reload')
        romeo = self.login('romeo')
        self.says_hash(romeo)
        self.assertIn('mod_caps does not run', self.refused(FAILED, 'caps', romeo.jid))
        self.server.write_settings(self.over)
        self.done('reload')
        romeo.send("<iq type='get' id='sync' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>")
        said = {}
        romeo.expect("<iq type='result' id='sync'/>")
        romeo.expect("<iq type='get' from='localhost' id='${id}'><info:query/></iq>", variables=said)
        self.answers(romeo, said['id'], PC + var(*FEATURES))
        self.assertEqual(self.known(romeo), FEATURES)
        self.server.write_settings('')
        self.done('reload')
        self.server.write_settings(self.over)
        self.done('reload')
        self.not_known(romeo)
        romeo.close()


if __name__ == '__main__':
    main()
