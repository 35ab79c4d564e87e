"""Mails about changes. The task queue calls `mail_watchers` outside of any request of web2py."""

from gluon.tools import Mail


def mail_watchers(server, sender, name, link, addresses, lines):
    mail = Mail(server=server, sender=sender)
    for address in addresses:
        text = '%s has changed: %s\n\n%s' % (name, link, '\n'.join(lines))
        if not mail.send(to=address, subject='[wiki] %s' % name, message=text):
            raise RuntimeError('the mail to %s was not sent: %s' % (address, mail.error))
