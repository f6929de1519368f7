"""The Stripe adapter: the only package that knows package ``stripe`` and its way of speaking.

How our rows and Stripe's objects find each other:

=============================  ===========================================================
our row                        ``provider_ref``
=============================  ===========================================================
collection                     ``pi_…``, its PaymentIntent
collection on Stripe's page    ``cs_…``, its Checkout Session (known before its PaymentIntent)
refund                         ``re_…`` (or ``pyr_…``)
payout                         ``tr_…``, a Transfer to the payee's account
reversal                       ``tr_…/trr_…``: Stripe finds a reversal by its transfer alone
=============================  ===========================================================

What Stripe tells of a collection on its page names the PaymentIntent, never the Session. Such an
event, movement, chargeback or warning therefore names the row itself: ``payment:{uuid}``, read from
the PaymentIntent's own metadata (see :func:`service.payments.port.own_payment`).
"""
