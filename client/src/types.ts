/** The wire types of the HTTP and WebSocket contract, written out so that the published declarations need no other package. */

/** One field of a request that was wrong: `path` as in JSON, `code` stable, `message` for people. */
export interface FieldError {
  path: string;
  code: string;
  message: string;
}

/** An RFC 9457 problem. `code` is stable; `message` mirrors `detail`. */
export interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
  code: string;
  message: string;
  instance?: string | undefined;
  errors?: FieldError[] | undefined;
  /** Not before this many milliseconds from the answer. */
  retryAfterMs?: number | undefined;
}

export type JobStatus = 'queued' | 'active' | 'retrying' | 'completed' | 'failed' | 'cancelled';
export type JobPriority = 'interactive' | 'normal' | 'batch';

/** What one job consumed. Times in milliseconds. */
export interface JobUsage {
  provider: string;
  model: string;
  /** The name that was asked for, where it stands for `model` by now. */
  requestedModel?: string | undefined;
  inputTokens: number;
  outputTokens: number;
  cachedInputTokens: number;
  costUsd: number;
  credits: number;
  queueMs: number;
  latencyMs: number;
  timeToFirstTokenMs: number | null;
  fallbacks: { provider: string; model: string; reason: string }[];
  degraded: boolean;
  estimated: boolean;
  /** Which prompt asked; null where you brought your own turns. */
  promptVersion?: string | null | undefined;
  /** The answer to an equal job of the last minutes; it costs nothing. */
  cached?: boolean | undefined;
}

export interface Job {
  id: string;
  engine: string;
  queue: string;
  status: JobStatus;
  priority: JobPriority;
  attempts: number;
  createdAt: string;
  startedAt: string | null;
  finishedAt: string | null;
  progress: number | null;
  result: unknown;
  problem: Problem | null;
  partialText: string | null;
  usage: JobUsage | null;
}

/** The answer to an accepted job. */
export interface JobAccepted {
  jobId: string;
  status: JobStatus;
  links: { self: string; events: string; cancel: string };
}

/** The options every engine takes beside its input. */
export interface JobOptions {
  priority?: JobPriority | undefined;
  strategy?: 'cost_optimized' | 'speed_optimized' | 'quality_optimized' | 'balanced' | 'failover' | undefined;
  provider?: string | undefined;
  model?: string | undefined;
  maxCostUsd?: number | undefined;
  timeoutMs?: number | undefined;
  stream?: boolean | undefined;
  /** With false, the answer to an equal job is neither used nor kept. */
  cache?: boolean | undefined;
}

/** An event on the topic `job:<id>`. */
export type JobEvent =
  | { event: 'job.queued'; data: { jobId: string } }
  | { event: 'job.started'; data: { jobId: string; provider: string; model: string; attempt: number } }
  | { event: 'job.chunk'; data: { jobId: string; index: number; delta: string } }
  | { event: 'job.restarted'; data: { jobId: string; reason: string } }
  | { event: 'job.completed'; data: Job }
  | { event: 'job.failed'; data: { jobId: string; problem: Problem } }
  | { event: 'job.cancelled'; data: { jobId: string; problem: Problem } };

type Role = 'owner' | 'admin' | 'member' | 'viewer';
/** From the least to the most. */
type Plan = 'free' | 'starter' | 'pro' | 'enterprise';

/** What is said of a job that ended. */
export interface EndedJob {
  jobId: string;
  engine: string;
  status: 'completed' | 'failed' | 'cancelled';
  attempts: number;
  /** The `code` of its problem, for jobs that did not complete. */
  problemCode: string | null;
  usage: {
    provider: string | null;
    model: string | null;
    inputTokens: number | null;
    outputTokens: number | null;
    costUsd: number | null;
    credits: number | null;
    latencyMs: number | null;
    degraded: boolean | null;
  } | null;
}

/** What happens in a workspace, by type, with what each says: the catalogue of the topic `events`. */
/** Events name what they are about; who may read it reads it. `ownerId` is the member who looks after it. */
interface OfContact {
  contactId: string;
  ownerId: string | null;
}
interface OfDeal {
  dealId: string;
  contactId: string | null;
  ownerId: string | null;
}
interface OfTask {
  taskId: string;
  contactId: string | null;
  dealId: string | null;
  ownerId: string | null;
}
interface OfMessage {
  messageId: string;
  conversationId: string;
  contactId: string;
  ownerId: string | null;
}

export interface WorkspaceEvents {
  'ai.job.completed': EndedJob;
  'ai.job.failed': EndedJob;
  'ai.job.cancelled': EndedJob;
  'contact.created': OfContact;
  'contact.updated': OfContact & { changed: string[] };
  'contact.deleted': OfContact;
  'contact.restored': OfContact;
  'contact.merged': OfContact & { mergedId: string };
  'contact.erased': OfContact;
  'contact.opted_out': OfContact;
  'contact.opted_in': OfContact;
  'contact.scored': OfContact & { score: number; before: number | null };
  'import.completed': {
    importId: string;
    status: 'completed' | 'failed' | 'cancelled';
    counts: Record<string, number>;
  };
  /** Once a second at most, and at the end. */
  'operation.progressed': {
    operationId: string;
    kind: string;
    status: 'queued' | 'active' | 'completed' | 'failed' | 'cancelled';
    done: number;
    total: number | null;
    counts: Record<string, number>;
  };
  'campaign.started': { campaignId: string; total: number };
  'campaign.paused': {
    campaignId: string;
    reason: 'by_hand' | 'unknown_in_a_row' | 'failures_in_a_row' | 'template_refused';
  };
  'campaign.completed': { campaignId: string; status: 'completed' | 'completed_with_unknown' };
  'campaign.item.unknown': { campaignId: string; itemId: string; contactId: string | null };
  'channel.state_changed': { channelId: string; state: 'active' | 'paused'; reason: string | null };
  /** Once a second at most. */
  'campaign.progressed': { campaignId: string; counters: Record<string, number> };
  'deal.created': OfDeal;
  'deal.updated': OfDeal & { changed: string[] };
  'deal.moved': OfDeal & { pipelineId: string; fromStageId: string; toStageId: string };
  'deal.won': OfDeal;
  'deal.lost': OfDeal;
  'deal.reopened': OfDeal;
  'deal.deleted': OfDeal;
  'task.created': OfTask;
  'task.due': OfTask;
  'task.completed': OfTask;
  'message.received': OfMessage;
  'message.sent': OfMessage;
  'message.status': OfMessage & { status: 'sent' | 'delivered' | 'read' | 'failed' };
  'member.joined': { userId: string; role: Role };
  'member.changed': { userId: string; role: Role };
  'member.removed': { userId: string; role: Role };
  'workspace.changed': { changed: string[] };
  /** Only to the person who was told. */
  'notification.created': { notificationId: string; kind: string; recipientId: string };
  /** `source`: what it comes from now; null: neither a licence nor a subscription. */
  'billing.plan_changed': {
    from: Plan;
    to: Plan;
    source: 'license' | 'subscription' | null;
    reason: string;
  };
  'license.expiring': {
    licenseId: string;
    plan: Plan;
    phase: 'soon' | 'grace';
    expiresAt: string;
    graceUntil: string;
  };
  'credits.low': { remaining: number; lowAt: number };
  'credits.exhausted': { remaining: number };
  'credits.unbalanced': { invariant: string };
  'billing.subscription_changed': {
    subscriptionId: string;
    plan: Plan;
    status: 'incomplete' | 'trialing' | 'active' | 'past_due' | 'canceled';
    /** What it gives now. */
    givenPlan: Plan;
    cancelAt: string | null;
  };
  'billing.past_due': { subscriptionId: string; graceUntil: string };
  'billing.invoice_due': { invoiceId: string; amountMinor: number; currency: string; dueAt: string | null };
  'billing.invoice_paid': { invoiceId: string; amountMinor: number; currency: string; credits: number };
  'billing.invoice_held': { invoiceId: string; reason: 'amount' | 'price' | 'subscription' };
  'billing.payment_failed': { invoiceId: string; nextAttemptAt: string | null };
  'billing.disputed': {
    invoiceId: string;
    disputeId: string;
    status: 'open' | 'won' | 'lost';
    amountMinor: number;
    currency: string;
    creditsReversed: number;
    creditsUncollected: number;
  };
  'billing.refunded': {
    invoiceId: string;
    refundedMinor: number;
    creditsReversed: number;
    creditsUncollected: number;
  };
  'webhook.disabled': { webhookId: string; name: string; reason: 'gone' | 'failing' };
  'webhook.test': { webhookId: string };
}

export type WorkspaceEventType = keyof WorkspaceEvents;

/** What every event says beside its own: its id, when it happened (RFC 3339) and the member who did it, if it was one. */
export interface EventMark {
  id: string;
  occurredAt: string;
  actorId: string | null;
}

/** An event on the topic `events`. */
export type WorkspaceEvent<Type extends WorkspaceEventType = WorkspaceEventType> = {
  [One in Type]: { event: One; data: WorkspaceEvents[One] & EventMark };
}[Type];

/** The types of event that fit a pattern, as far as it can be told from the text: `member.*`, `ai.**`, a type itself; else any. */
export type MatchingEventType<Pattern extends string> = Pattern extends WorkspaceEventType
  ? Pattern
  : Pattern extends `${string}*${string}*`
    ? WorkspaceEventType
    : Pattern extends `${infer Start}.*`
      ? Extract<WorkspaceEventType, `${Start}.${string}`>
      : WorkspaceEventType;

/** One event of a topic as the socket delivers it. */
export interface LiveEvent {
  topic: string;
  /** Ordered within the topic; on jobs `<attempt>-<seq>`. */
  id: string;
  event: string;
  data: unknown;
}

export interface Page<Item> {
  data: Item[];
  page: { nextCursor: string | null; hasMore: boolean };
}

export interface User {
  id: string;
  email: string;
  name: string;
}

export interface Workspace {
  id: string;
  name: string;
}

/** What login and register answer; `expiresIn` in seconds. */
export interface Session {
  user: User;
  workspace: Workspace;
  token: string;
  refreshToken: string;
  expiresIn: number;
}

export interface ConversationMessage {
  role: 'user' | 'assistant' | 'system';
  content: string;
}

export interface CopilotInput {
  context?: string | Record<string, unknown>;
  conversationHistory?: ConversationMessage[];
  contactId?: string;
  dealId?: string;
  tone?: 'formal' | 'neutral' | 'friendly';
  language?: string;
}

export interface CopilotResult {
  suggestion: { text: string; confidence: number; reasoning: string };
  alternatives: { text: string; confidence: number }[];
}

/** The inputs of the engines this client knows by name; any other engine takes a plain object. */
export interface EngineInputs {
  copilot: CopilotInput;
  'smart-replies': { message: string; count?: number; context?: string; language?: string };
  sentiment: { text: string } | { texts: string[] };
  intent: { text: string; labels?: string[] };
  'extract-entities': { text: string };
  summarize: { messages: (ConversationMessage & { at?: string })[]; maxLength?: number };
  translate: { text: string; targetLanguage: string; sourceLanguage?: string };
  'score-lead': { features: Record<string, string | number | boolean> } | { contactId: string };
}

export type EngineInput<Engine extends string> = Engine extends keyof EngineInputs
  ? EngineInputs[Engine]
  : Record<string, unknown>;
