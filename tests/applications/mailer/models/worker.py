# -*- coding: utf-8 -*-
# The functions that the scheduler used to call. They take keyword arguments, and return a value that JSON can hold.
import datetime

from newsletter.letters import compose
from newsletter.localtime import next_local


def start_campaign(campaign):
    """Add a task for each batch of recipients in each time zone, due when it is the campaign's hour there."""
    row = db.campaign(campaign)
    size = configuration.take('letters.batch', cast=int)
    zones = [each.zone for each in db(db.recipient.active == True).select(db.recipient.zone, distinct=True)]
    batches = 0
    for zone in sorted(zones):
        ids = [each.id for each in db((db.recipient.active == True) & (db.recipient.zone == zone)).select(
            db.recipient.id, orderby=db.recipient.id)]
        for first in range(0, len(ids), size):
            name = 'letters-%s-%s-%s' % (row.id, zone.replace('/', '_'), first // size)
            queue_task('send_batch', dict(campaign=row.id, recipients=ids[first:first + size]),
                       start_time=next_local(request.now, row.hour, zone), task_name=name, queue='letters')
            batches += 1
    row.update_record(status='sending', started=request.now)
    return batches


def send_batch(campaign, recipients):
    """Send a campaign to a few recipients. Each mail is committed, so that a retry continues after the last one."""
    row, sent = db.campaign(campaign), 0
    for recipient in db(db.recipient.id.belongs(recipients) & (db.recipient.active == True)).select():
        letter = '%s-%s' % (campaign, recipient.id)
        if db.delivery(letter=letter):
            continue
        db.delivery.insert(campaign=campaign, recipient=recipient.id, letter=letter, sent=request.now)
        link = URL('default', 'unsubscribe', vars=dict(email=recipient.email), hmac_key=hmac_key(), scheme=True,
                   host=True)
        if not mail.send(to=recipient.email, subject=row.subject, message=compose(row.body, recipient.name, link),
                         headers={'List-Unsubscribe': '<%s>' % link}):
            raise RuntimeError('%s: %s' % (recipient.email, mail.error))
        db.commit()
        sent += 1
    return sent


def clean_up(days):
    """Delete the runs and the inactive recipients that are older than some days."""
    limit = request.now - datetime.timedelta(days=days)
    forgotten = db(db.run.last < limit).delete()
    return forgotten + db((db.recipient.active == False) & (db.recipient.since < limit)).delete()


def hmac_key():
    return configuration.take('letters.hmac_key')


TASKS = dict(start_campaign=start_campaign, send_batch=send_batch, clean_up=clean_up)
