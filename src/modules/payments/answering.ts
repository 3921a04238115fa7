import type {
  Answered,
  ChargeSnapshot,
  DisputeSnapshot,
  InvoiceSnapshot,
  PaymentProvider,
  SubscriptionSnapshot,
} from '#src/modules/payments/provider.ts';

type About =
  | { subscription: string }
  | { invoice: string }
  | { payment: string }
  | { dispute: string }
  /** `seen`: what was known of it when this was asked. */
  | { charge: string; seen: string };

/** What must be asked of the provider before something can be applied; thrown, so that nothing of the transaction stays. */
export class Question extends Error {
  readonly about: About;

  constructor(about: About) {
    super('The provider must be asked');
    this.about = about;
  }
}

/** What the provider said when it was asked. */
export interface Answers {
  /** By their refs. */
  subscriptions: Map<string, Answered<SubscriptionSnapshot>>;
  invoice?: InvoiceSnapshot;
  dispute?: Answered<DisputeSnapshot>;
  charge?: Answered<ChargeSnapshot> & { seen: string };
  /** The invoice that was paid by what is returned; null: none. */
  invoiceRef?: string | null;
}

/** An event needs its subscription, its invoice, the invoice's subscription, another one at most, and once more where two of them move. */
const MAX_QUESTIONS = 6;

/**
 * Does something for which the provider may have to be asked: what is asked is asked outside of its transaction, and it is done again.
 * @param about.customerRef what is said of another customer is not of this workspace, and is not believed
 * @param about.at since when that may be so: what is asked now is no older
 * @param work throws Question
 */
export async function answering<Result>(
  provider: PaymentProvider,
  about: { customerRef: string; at: Date },
  work: (answers: Answers) => Promise<Result>,
): Promise<Result> {
  const answers: Answers = { subscriptions: new Map() };
  for (let asked = 0; ; asked += 1) {
    try {
      return await work(answers);
    } catch (error) {
      if (!(error instanceof Question) || asked === MAX_QUESTIONS) throw error;
      await answer(provider, error.about, about, answers);
    }
  }
}

/** An answer goes by a clock of seconds and of its way here: what was asked because of an event is no older than that. */
export const since = <Snapshot>(answer: Answered<Snapshot>, at: Date): Answered<Snapshot> =>
  answer.at < at ? { ...answer, at } : answer;

async function answer(
  provider: PaymentProvider,
  question: About,
  { customerRef, at }: { customerRef: string; at: Date },
  answers: Answers,
): Promise<void> {
  const ours = <One>(found: One | null, of: (one: One) => string | undefined): One => {
    if (found === null || of(found) !== customerRef) throw new Error('There is no such thing of this customer');
    return found;
  };
  if ('subscription' in question) {
    const found = ours(await provider.findSubscription(question.subscription), ({ snapshot }) => snapshot.customerRef);
    answers.subscriptions.set(question.subscription, since(found, at));
  } else if ('invoice' in question)
    answers.invoice = ours(await provider.findInvoice(question.invoice), (one) => one.customerRef);
  else if ('charge' in question) {
    const found = ours(await provider.findCharge(question.charge), ({ snapshot }) => snapshot.customerRef);
    answers.charge = { ...since(found, at), seen: question.seen };
  } else if ('dispute' in question) {
    const found = await provider.findDispute(question.dispute);
    if (!found) throw new Error('There is no such dispute');
    answers.dispute = since(found, at);
  } else answers.invoiceRef = await provider.findInvoiceOf(question.payment);
}
