import type { EntityManager } from '@mikro-orm/postgresql';
import type { z } from 'zod';
import { AppError } from '#src/errors.ts';
import { momentIn, wallTimeIn } from '#src/lib/time-zone.ts';
import { findChannel } from '#src/modules/channels/channels.query.ts';
import type { Windows } from '#src/modules/channels/channels.schemas.ts';

/** When something sends: hours of some days by a zone's clocks; none: always. */
export interface Hours {
  windows: z.output<typeof Windows>;
  timeZone: string;
}

const DAY_MS = 86_400_000;
/** A week, and what is left of its first day. */
const DAYS = 8;

/** The hours of the week from a moment on, as spans of milliseconds since 1970. */
function spansOf({ windows, timeZone }: Hours, fromMs: number): { from: number; to: number }[] {
  const firstDay = Date.parse(`${wallTimeIn(new Date(fromMs), timeZone).slice(0, 10)}T00:00:00Z`);
  return Array.from({ length: DAYS }, (_, away) => new Date(firstDay + away * DAY_MS)).flatMap((day) => {
    const at = (clock: string) => momentIn(`${day.toISOString().slice(0, 10)}T${clock}:00`, timeZone).getTime();
    return windows
      .filter(({ days }) => days.includes(day.getUTCDay() || 7))
      .map(({ from, to }) => ({ from: Math.max(fromMs, at(from)), to: at(to) }));
  });
}

/** Whether two that send only at their hours have some in common, in the week from a moment on: later they are the same again. */
export function isEverOpen(one: Hours, other: Hours, fromMs: number): boolean {
  if (one.windows.length === 0 || other.windows.length === 0) return true;
  const others = spansOf(other, fromMs);
  return spansOf(one, fromMs).some(({ from, to }) =>
    others.some((span) => Math.max(from, span.from) < Math.min(to, span.to)),
  );
}

const DAY_NAMES = ['', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'];
const told = ({ windows, timeZone }: Hours): string =>
  `${windows.map(({ days, from, to }) => `${days.map((day) => DAY_NAMES[day]).join(', ')} ${from}-${to}`).join('; ')} (${timeZone})`;

/** @throws AppError 422 `windows_never_meet` where a campaign would wait for ever for an hour that its channel has too */
export async function checkWindows(
  em: EntityManager,
  channelId: string,
  hours: Hours,
  scheduledAt: string | null,
): Promise<void> {
  const channel = await findChannel(em, channelId);
  if (!channel) return;
  const ofChannel = { windows: channel.pacing.windows, timeZone: channel.time_zone };
  const fromMs = Math.max(Date.now(), scheduledAt === null ? 0 : Date.parse(scheduledAt));
  if (isEverOpen(hours, ofChannel, fromMs)) return;
  const message = `have no hour in common with its channel's: ${told(hours)}, and ${told(ofChannel)}`;
  const errors = [{ path: 'windows', code: 'never_meet', message }];
  throw new AppError(422, 'windows_never_meet', `The campaign's windows ${message}.`, { errors });
}
