import { found, StripeBook } from './stripe-book.ts';
import { chargeObject, disputeObject, idOf, refundObject, type Invoice, type Refund } from './stripe-objects.ts';

/** What goes back of payments: refunds, some of which fail later, and what banks ask back. */
export class StripeReturns extends StripeBook {
  /** Some of what was paid goes back. @returns the refund; null: there was not so much */
  refund(invoice: Invoice, amount: number): Refund | null {
    if (invoice.status !== 'paid' || amount <= 0 || invoice.refunded + amount > invoice.due) return null;
    const id = idOf('re');
    const one: Refund = { id, invoice: invoice.id, amount, status: 'succeeded', created: this.now() };
    this.refunds.set(id, one);
    invoice.refunded += amount;
    this.say('refund.created', refundObject(one, invoice));
    this.say('charge.refunded', this.charge(invoice));
    return one;
  }

  /** A bank gave a refund back to us, or it was canceled before it was paid out: the charge keeps what it was. */
  undoRefund(id: string, status: 'failed' | 'canceled' = 'failed'): void {
    const one = found(this.refunds, id);
    const invoice = found(this.invoices, one.invoice);
    one.status = status;
    invoice.refunded -= one.amount;
    const types = ['refund.updated', 'charge.refund.updated', ...(status === 'failed' ? ['refund.failed'] : [])];
    for (const type of types) this.say(type, refundObject(one, invoice));
  }

  /** The charge of an invoice as it is now; with its refunds, newest first, for who asks for them. */
  protected charge(invoice: Invoice, isExpanded = false): object {
    const of = (one: { invoice: string }) => one.invoice === invoice.id;
    const refunds = [...this.refunds.values()].filter(of).toReversed();
    return chargeObject(invoice, this.disputes.values().some(of), isExpanded ? refunds : undefined);
  }

  /** A bank asks a payment back, or asks about it (`warning_needs_response`). @returns the dispute's id */
  dispute(invoiceId: string, { amount, status = 'needs_response' }: { amount?: number; status?: string } = {}): string {
    const invoice = found(this.invoices, invoiceId);
    const id = idOf('du');
    this.disputes.set(id, { id, invoice: invoice.id, amount: amount ?? invoice.due, status, created: this.now() });
    this.#tellDispute('created', id);
    if (status === 'needs_response') this.#tellDispute('funds_withdrawn', id);
    return id;
  }

  /** It is decided: won, lost, or a question that led to nothing. */
  closeDispute(id: string, status: 'won' | 'lost' | 'warning_closed'): void {
    found(this.disputes, id).status = status;
    if (status === 'won') this.#tellDispute('funds_reinstated', id);
    this.#tellDispute('closed', id);
  }

  #tellDispute(what: string, id: string): void {
    const dispute = found(this.disputes, id);
    this.say(`charge.dispute.${what}`, disputeObject(dispute, found(this.invoices, dispute.invoice)));
  }
}
