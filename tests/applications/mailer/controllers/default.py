# -*- coding: utf-8 -*-
import hmac


def index():
    form = SQLFORM(db.recipient, submit_button='Subscribe', formstyle='divs')
    if form.process(next=URL('index'), message_onsuccess='Welcome, %s' % (request.vars.name or 'reader')).accepted:
        pass
    return dict(form=form, readers=readers)


def unsubscribe():
    """The link in a mail. A GET request only shows a question, because mail programs open the links of a mail."""
    if not URL.verify(request, hmac_key=hmac_key(), hash_vars=['email']):
        raise HTTP(403, 'This link is not complete')
    recipient = db.recipient(email=request.get_vars.email) or redirect(URL('index'))
    if request.env.request_method == 'POST':
        recipient.update_record(active=False)
        return 'Goodbye, %s' % (recipient.name or recipient.email)
    return dict(recipient=recipient)


def bounce():
    """The mail provider posts the addresses that it could not reach, with a signature of the body."""
    if request.env.request_method != 'POST':
        raise HTTP(405, 'POST only', Allow='POST')
    expected = hmac.new(configuration.take('letters.webhook_key').encode(), request.body.read(), 'sha256').hexdigest()
    if not hmac.compare_digest(expected, request.env.http_x_signature or ''):
        raise HTTP(403)
    request.body.seek(0)  # web2py reads the body again for post_vars
    recipient = db.recipient(email=request.post_vars.email)
    if not recipient:
        raise HTTP(404, 'unknown')
    bounces = recipient.bounces + (3 if request.post_vars.kind == 'hard' else 1)
    recipient.update_record(bounces=bounces, active=recipient.active and bounces < 3)
    return response.json(dict(active=recipient.active))
