import { createSecretKey } from 'node:crypto';
import type { Pool } from 'pg';
import { JOB_REF_KEY } from '#queues/job-ref.ts';
import { createProducer } from '#queues/producer.ts';
import { ConfigError, readConfig } from '#src/config.ts';
import { leadWhenFree } from '#src/db/leader.ts';
import { openOrm } from '#src/db/orm.ts';
import { openPool } from '#src/db/pool.ts';
import { createHinter } from '#src/events/hint.ts';
import { createEventRelay, type Consumer } from '#src/events/relay.ts';
import { createLog } from '#src/lib/log.ts';
import { every } from '#src/lib/every.ts';
import { createMetrics } from '#src/lib/metrics.ts';
import { publishMetrics } from '#src/lib/metrics-relay.ts';
import { runMain, runUntilSignal } from '#src/lib/process.ts';
import { openRedis } from '#src/lib/redis.ts';
import { deriveKey } from '#src/lib/secrets.ts';
import { purgeExports } from '#src/modules/analytics/exports.query.ts';
import { watchPartitions } from '#src/modules/analytics/partitions.ts';
import { scheduleAnalytics, schedulePartitions } from '#src/modules/analytics/schedule.ts';
import { anchorWith, createAnchor } from '#src/modules/audit/anchor.ts';
import { createPlanCare } from '#src/modules/billing/plan-care.ts';
import { createLedgerCare } from '#src/modules/billing/reconcile.ts';
import { createInboundConsumer } from '#src/modules/campaigns/inbound.ts';
import { createTextsConsumer, startTexts } from '#src/modules/campaigns/texts.ts';
import { scheduleCampaigns, tendCampaigns } from '#src/modules/campaigns/schedule.ts';
import { entities } from '#src/modules/entities.ts';
import { createWebhookConsumer } from '#src/modules/webhooks/consumer.ts';
import { disableWebhooks } from '#src/modules/webhooks/disable.ts';
import { sweepDeliveries } from '#src/modules/webhooks/sweep.ts';
import { purgeAccounts } from '#src/modules/auth/purge.query.ts';
import { rotateStep } from '#src/modules/vault/rotation.ts';
import { purgeScores } from '#src/modules/contact-ai/purge.query.ts';
import { purgeMerges } from '#src/modules/contacts/merge.query.ts';
import { purgeOperations } from '#src/modules/bulk/operations.query.ts';
import { purgeContactExports } from '#src/modules/exports/exports.query.ts';
import { purgeImports } from '#src/modules/imports/imports.query.ts';
import { scheduleOperations } from '#src/modules/bulk/schedule.ts';
import { createContactAiConsumer } from '#src/modules/contact-ai/consumer.ts';
import { openContactAi } from '#src/modules/contact-ai/start.ts';
import { purgeMessages, purgeUnsent } from '#src/modules/messages/purge.query.ts';
import { SETTINGS } from '#src/modules/settings/registry.ts';
import { purgeAsks } from '#src/modules/payments/asks.query.ts';
import { purgeInbound } from '#src/modules/payments/inbound.query.ts';
import { createInbound } from '#src/modules/payments/inbound.ts';
import { openStripe } from '#src/modules/payments/stripe.ts';
import { createSubscriptionCare } from '#src/modules/payments/tend.ts';
import { destroyClosed } from '#src/modules/vault/keys.query.ts';
import { createVault, readKeks } from '#src/modules/vault/vault.ts';
import { createBatches } from '#src/modules/jobs/batches.ts';
import { createTellEnd } from '#src/modules/jobs/tell-end.ts';
import { createEmit } from '#src/streams/emit.ts';
import { STREAM_KEY } from '#src/streams/frame.ts';
import { createRelay } from '#src/modules/jobs/relay.ts';
import { createMailQueue } from '#src/modules/mail/enqueue.ts';
import { purgeMails } from '#src/modules/mail/sender.query.ts';
import { createNotificationConsumer } from '#src/modules/notifications/consumer.ts';
import { purgeNotifications } from '#src/modules/notifications/notifications.query.ts';
import { remindDue } from '#src/modules/reminders/remind.ts';
import { purgeReminders } from '#src/modules/reminders/reminders.query.ts';

/** The advisory locks of what one process leads; any numbers, the same in every version. */
const RELAY_LOCK = 7_203_001;
const EVENTS_LOCK = 7_203_002;
const LEDGER_LOCK = 7_203_011;
const PAYMENTS_LOCK = 7_203_013;

/** Of workspaces that chose nothing. */
const KEEP_MESSAGES_DAYS = SETTINGS['privacy.retentionDays'].byDefault;

/** People wait for their mail. */
const MAIL_EVERY_MS = 250;
const REMIND_EVERY_MS = 500;
const LEDGER_EVERY_MS = 60_000;
/** Somebody who has just paid looks at their plan. */
const PAYMENTS_EVERY_MS = 500;
const SUBSCRIPTIONS_EVERY_MS = 30_000;
const PLANS_LOCK = 7_203_012;
const PLANS_EVERY_MS = 60_000;
const PURGE_EVERY_MS = 60_000;
/** Batches end with their last item; this is for those whose worker died between. */
const BATCH_EVERY_MS = 2000;
const ROTATE_EVERY_MS = 10_000;
/** People look at figures of a moment ago. */
const FIGURES_EVERY_MS = 2000;
const PARTITIONS_EVERY_MS = 600_000;
/** Somebody watches a bar that does not move yet. */
const OPERATIONS_EVERY_MS = 500;
/** A channel waits no longer to be woken. */
const CAMPAIGNS_EVERY_MS = 500;
/** How far a campaign is, those who watch hear so often. */
const TEND_CAMPAIGNS_EVERY_MS = 1000;
const CONTACT_AI_EVERY_MS = 500;
/** A retry comes so much later than planned at most. */
const WEBHOOKS_EVERY_MS = 1000;

/** Each drops some of what is past its time, as the system, and says how many. */
const PURGES: ((pool: Pool) => Promise<number>)[] = [
  purgeNotifications,
  purgeReminders,
  purgeMails,
  purgeAccounts,
  purgeExports,
  purgeOperations,
  purgeMerges,
  purgeImports,
  purgeContactExports,
  purgeInbound,
  purgeAsks,
  destroyClosed,
  (pool) => purgeMessages(pool, KEEP_MESSAGES_DAYS),
  (pool) => purgeUnsent(pool, KEEP_MESSAGES_DAYS),
  (pool) => purgeScores(pool, KEEP_MESSAGES_DAYS),
];

/**
 * The process of what happens by itself: it keeps Redis a true index of Postgres, hands out events and mails, reminds, and drops what is past
 * its time. Several may run: one is the relay, the others stand by for it; reminders are shared among all.
 */
async function main(): Promise<void> {
  const config = readConfig();
  const log = createLog(config.LOG_LEVEL, 'control');
  const processName = `control-${process.pid}`;
  const metrics = createMetrics(processName);
  const pool = openPool(config, { name: 'control', role: 'wh_system', max: 4 }, log);
  const redis = openRedis(config.REDIS_URL, 'commands', log);
  const prefix = config.REDIS_PREFIX;
  const queueRedis = openRedis(config.REDIS_URL, 'blocking', log);
  const producer = createProducer(queueRedis, `{${prefix}}`, deriveKey(config.APP_SECRET, JOB_REF_KEY, 32));
  const stopMetrics = publishMetrics(redis, prefix, processName, metrics);
  const relay = createRelay({
    pool,
    redis,
    producer,
    prefix,
    leaseMs: config.JOB_LEASE_MS,
    resultTtlSeconds: config.JOB_RESULT_TTL,
    log,
    metrics,
  });
  /** Who is told of everything that happens. */
  const consumers: Consumer[] = [
    createWebhookConsumer(producer),
    createHinter(redis, prefix, (error) => log.debug({ err: error }, 'Left to the surveys of those who follow')),
    createNotificationConsumer(config.APP_SECRET),
    createContactAiConsumer(config.AUTO_AI_QUIET_MS),
    createInboundConsumer(config.APP_SECRET),
    createTextsConsumer(),
  ];
  const stopping = new AbortController();
  const eventPool = openPool(config, { name: 'control-events', role: 'wh_system', max: consumers.length + 1 }, log);
  const events = createEventRelay({ pool: eventPool, consumers, log, metrics });
  const leading = Promise.all([
    leadWhenFree(config.DATABASE_URL, RELAY_LOCK, relay.run, stopping.signal, log),
    leadWhenFree(config.DATABASE_URL, EVENTS_LOCK, events.run, stopping.signal, log),
  ]);
  const enqueueMails = createMailQueue(pool, producer);
  const putMails = async () => {
    while (!stopping.signal.aborted && (await enqueueMails()) > 0);
  };
  const remind = async () => {
    while (!stopping.signal.aborted && (await remindDue(pool, config.APP_SECRET)) > 0);
  };
  const vault = createVault(pool, config);
  const keys = { systemPool: pool, vault, keks: readKeks(config), log };
  const rotate = async () => {
    while (!stopping.signal.aborted && (await rotateStep(keys)) > 0);
  };
  const purgeStep = async () => {
    let dropped = 0;
    for (const drop of PURGES) dropped += await drop(pool);
    return dropped;
  };
  const purge = async () => {
    while (!stopping.signal.aborted && (await purgeStep()) > 0);
  };
  const figures = { pool, producer, metrics, log, keepMonths: config.AI_USAGE_KEEP_MONTHS };
  const tendPartitions = async () => {
    await schedulePartitions(figures);
    await watchPartitions(figures, new Date());
  };
  const onError = (error: unknown) => log.debug({ err: error }, 'Left to the next sweep');
  const master = createSecretKey(deriveKey(config.APP_SECRET, STREAM_KEY, 32));
  const emit = createEmit(redis);
  const tellEnd = createTellEnd({ emit, prefix, master, onError });
  const batches = createBatches({ pool, redis, prefix, tellEnd, onError });
  const contactAi = openContactAi({ config, log, metrics, pool, redis, producer, emit, master, vault });
  const lookAtContacts = async () => {
    while (!stopping.signal.aborted && (await contactAi.start()) > 0);
  };
  const writeTexts = async () => {
    while (!stopping.signal.aborted && (await startTexts(pool, contactAi.submit)) > 0);
  };
  const orm = openOrm(config, entities, { role: 'wh_app', log });
  anchorWith(orm, createAnchor(config));
  const sweepWebhooks = async () => {
    if (queueRedis.status === 'ready') await sweepDeliveries(pool, producer);
  };
  const turnOff = () => disableWebhooks({ systemPool: pool, orm });
  const wakeChannels = async () => {
    if (queueRedis.status === 'ready') await scheduleCampaigns(pool, producer);
  };
  const handOutOperations = () => scheduleOperations(pool, producer);
  const careForLedger = createLedgerCare({ systemPool: pool, orm, metrics, log });
  const ledger = leadWhenFree(
    config.DATABASE_URL,
    LEDGER_LOCK,
    (signal) => every(LEDGER_EVERY_MS, 'looking through the books', careForLedger, signal, log),
    stopping.signal,
    log,
  );
  const payments = await openStripe(config, log);
  const told = payments ? createInbound({ systemPool: pool, orm, provider: payments, config, log }) : null;
  const tendSubscriptions = createSubscriptionCare({ systemPool: pool, orm, provider: payments, config, log });
  const takePayments = async () => {
    if (told) while (!stopping.signal.aborted && (await told.step()) > 0);
  };
  const billing = leadWhenFree(
    config.DATABASE_URL,
    PAYMENTS_LOCK,
    async (signal) => {
      await Promise.all([
        every(PAYMENTS_EVERY_MS, 'working off what payment providers tell', takePayments, signal, log),
        every(SUBSCRIPTIONS_EVERY_MS, 'tending subscriptions', tendSubscriptions, signal, log),
      ]);
      await told?.idle();
    },
    stopping.signal,
    log,
  );
  const { LICENSE_GRACE_DAYS: graceDays, DEFAULT_PLAN: defaultPlan } = config;
  const tendPlans = createPlanCare({ systemPool: pool, orm, log, graceDays, defaultPlan });
  const plans = leadWhenFree(
    config.DATABASE_URL,
    PLANS_LOCK,
    (signal) => every(PLANS_EVERY_MS, 'tending plans', tendPlans, signal, log),
    stopping.signal,
    log,
  );
  const chores = [
    ledger,
    billing,
    plans,
    every(WEBHOOKS_EVERY_MS, 'waking for due deliveries', sweepWebhooks, stopping.signal, log),
    every(WEBHOOKS_EVERY_MS, 'turning webhooks off', turnOff, stopping.signal, log),
    every(BATCH_EVERY_MS, 'ending batches', () => batches.sweep(), stopping.signal, log),
    every(MAIL_EVERY_MS, 'putting mails into their queue', putMails, stopping.signal, log),
    every(REMIND_EVERY_MS, 'reminding', remind, stopping.signal, log),
    every(ROTATE_EVERY_MS, 'bringing sealed values under their current keys', rotate, stopping.signal, log),
    every(FIGURES_EVERY_MS, 'handing out figures to count', () => scheduleAnalytics(figures), stopping.signal, log),
    every(CAMPAIGNS_EVERY_MS, 'waking channels', wakeChannels, stopping.signal, log),
    every(TEND_CAMPAIGNS_EVERY_MS, 'tending campaigns', () => tendCampaigns(pool), stopping.signal, log),
    every(TEND_CAMPAIGNS_EVERY_MS, 'having texts written', writeTexts, stopping.signal, log),
    every(CONTACT_AI_EVERY_MS, 'having AI look at contacts', lookAtContacts, stopping.signal, log),
    every(OPERATIONS_EVERY_MS, 'handing out operations', handOutOperations, stopping.signal, log),
    every(PARTITIONS_EVERY_MS, 'having the partitions tended', tendPartitions, stopping.signal, log),
    every(PURGE_EVERY_MS, 'dropping what has expired', purge, stopping.signal, log),
  ];
  await runUntilSignal(log, async () => {
    stopping.abort();
    await leading;
    await Promise.all(chores);
    await contactAi.close();
    await stopMetrics();
    if (queueRedis.status === 'ready') await producer.close();
    for (const connection of [redis, queueRedis]) connection.disconnect();
    await Promise.all([pool.end(), eventPool.end(), orm.close()]);
  });
}

runMain(main, (error) => error instanceof ConfigError);
