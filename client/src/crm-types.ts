import type { Problem } from './types.ts';

/** How long work over many rows is, and how far. */
export interface Operation {
  id: string;
  kind: string;
  status: 'queued' | 'active' | 'completed' | 'failed' | 'cancelled';
  userId: string;
  done: number;
  total: number | null;
  /** By outcome. */
  counts: Record<string, number>;
  problem: Problem | null;
  createdAt: string;
  finishedAt: string | null;
}

/** What a route answers with that has asked for an operation. */
export interface OperationAccepted {
  operationId: string;
  status: 'queued';
  links: { self: string };
}

export interface ImportColumn {
  /** From 0. */
  column: number;
  header: string;
  samples: string[];
  /** What it seems to be: `name`, `phone`, …, `custom:<key>`, or `ignore`. */
  to: string;
  /** For a column that is nothing known: the field to make for it, to keep it. */
  newField?: { key: string; name: string; kind: 'text' | 'number' | 'date' | 'boolean' | 'url' } | undefined;
}

/** A file of contacts, and what became of its rows. */
export interface Import {
  id: string;
  userId: string;
  fileName: string | null;
  status: 'uploaded' | 'queued' | 'active' | 'completed' | 'failed' | 'cancelled';
  format: 'csv' | 'xlsx';
  encoding: string;
  delimiter: string | null;
  sizeBytes: number;
  rows: number;
  header: string[];
  columns: ImportColumn[];
  mapping: { column: number; to: string }[];
  mode: 'skip' | 'update' | 'merge' | null;
  dryRun: boolean;
  done: number;
  counts: { created: number; updated: number; skipped: number; invalid: number };
  operationId: string | null;
  problem: Problem | null;
  createdAt: string;
  finishedAt: string | null;
  expiresAt: string;
}

export type UploadedImport = Import & {
  /** The first rows. */
  preview: string[][];
};

export interface ImportStart {
  /** Without it, what each column seems to be. */
  mapping?: { column: number; to: string }[] | undefined;
  /** What becomes of contacts that are known. */
  mode: 'skip' | 'update' | 'merge';
  dryRun?: boolean | undefined;
  /** ISO 3166-1 alpha-2. */
  defaultCountry?: string | undefined;
  labels?: string[] | undefined;
  consent?: 'granted' | 'denied' | undefined;
}

export type CampaignStatus =
  | 'draft'
  | 'scheduled'
  | 'preparing'
  | 'running'
  | 'paused'
  | 'completed'
  | 'completed_with_unknown'
  | 'cancelled'
  | 'missed'
  | 'failed';

/** Items by where they stand; they sum up to `total`. */
export interface CampaignCounters {
  total: number;
  pending: number;
  claimed: number;
  dispatching: number;
  sent: number;
  delivered: number;
  read: number;
  failed: number;
  skipped: number;
  cancelled: number;
  unknown: number;
}

export interface CampaignWindow {
  /** Monday is 1. */
  days: number[];
  from: string;
  to: string;
}

/** A template of the Cloud API, by the name it has there. The parameters of its body are the variables of the text it stands beside. */
export interface CloudTemplate {
  name: string;
  /** As Meta writes it: `pt_BR`. */
  language: string;
  header?: string | undefined;
  buttons?: { index: number; type: 'url' | 'quick_reply' | 'copy_code'; text: string }[] | undefined;
}

export interface Campaign {
  id: string;
  name: string;
  channelId: string;
  variants: {
    key: string;
    weight: number;
    text: string;
    templateId: string | null;
    templateVersion: number | null;
    /** On the Cloud API the text goes as this template, which Meta has approved. */
    cloudTemplate: CloudTemplate | null;
  }[];
  holdoutPercent: number;
  audience: unknown;
  exclude: unknown;
  requireConsent: boolean;
  status: CampaignStatus;
  pauseReason: string | null;
  /** Why a campaign that runs sends nothing for now: `plan_limit` until the workspace's next day. */
  waitReason: string | null;
  scheduledAt: string | null;
  maxLatenessMinutes: number;
  timeZone: string;
  windows: CampaignWindow[];
  /** What becomes of messages nobody knows the end of. */
  onUnknown: 'hold' | 'assume_sent' | 'resend_once';
  /** How a model writes each recipient's own text, and for how much; null where none does. */
  ai: { instruction: string; budgetUsd: number; maxCostUsd: number; spentUsd: number } | null;
  counters: CampaignCounters;
  /** Who was meant and left out when it began, by reason. */
  excluded: Record<string, number>;
  startedAt: string | null;
  finishedAt: string | null;
  createdBy: string | null;
  createdAt: string;
  updatedAt: string;
}

/** A draft that was just made; `notice` is what WhatsApp's rules say of bulk sending, to be shown. */
export type NewCampaign = Campaign & { notice: string };

export interface CampaignProgress {
  status: CampaignStatus;
  pauseReason: string | null;
  waitReason: string | null;
  counters: CampaignCounters;
  /** Null where nothing says. */
  etaSeconds: number | null;
}

export interface CampaignReport {
  counters: CampaignCounters;
  excluded: Record<string, number>;
  /** Each stage contains the ones behind it. */
  funnel: { reached: number; delivered: number; read: number; replied: number; optedOut: number };
  /** By reason. */
  skipped: Record<string, number>;
  failed: Record<string, number>;
  variants: {
    key: string;
    sent: number;
    replied: number;
    /** From 0 to 1, with its interval (95 %). */
    replyRate: { rate: number; low: number; high: number } | null;
  }[];
}
