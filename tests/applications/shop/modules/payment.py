"""The payment provider. A test replaces `send`, or sets [payment] in private/appconfig.ini."""

import hashlib
import logging

from gluon import current

RETRIES = dict(task_retry_limit=4, min_backoff_seconds=10, max_backoff_seconds=3600, max_doublings=3)
log = logging.getLogger('web2py.app.shop')


class Declined(Exception):
    """The bank refuses the card."""


class Unavailable(Exception):
    """The provider does not answer. Another attempt may succeed."""


def charge(key, amount, card, configuration):
    """Charge a card, and return the receipt. The provider charges a key only once."""
    retries = int(current.request.env.http_x_appengine_taskretrycount or 0)
    if retries < (configuration.get('payment.fails') or 0):
        log.warning('the provider did not answer for %s', key)
        raise Unavailable(key)
    if str(configuration.get('payment.declined')) == card:
        raise Declined('card %s was declined' % card)
    return send(key, amount, card)


def send(key, amount, card):
    return 'R' + hashlib.sha1(('%s %s %s' % (key, amount, card)).encode()).hexdigest()[:10]
