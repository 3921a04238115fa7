import type { EventData, EventType } from '../../src/events/catalog.ts';
import type * as server from '../../src/modules/jobs/job.schemas.ts';
import type { z } from 'zod';
import type {
  Job,
  JobAccepted,
  JobEvent,
  JobOptions,
  JobStatus,
  JobUsage,
  MatchingEventType,
  Problem,
  WorkspaceEvents,
} from './types.ts';

type Same<Left, Right> = [Left] extends [Right] ? ([Right] extends [Left] ? true : never) : never;
type KeysSame<Left, Right> = Same<keyof Left, keyof Right>;

/** Does not compile when a wire type here and the server's schema drift apart. */
export const wireTypesMatch: [
  Same<JobStatus, server.JobStatus>,
  Same<JobUsage, server.JobUsage>,
  KeysSame<JobUsage, server.JobUsage>,
  Same<Problem, z.infer<typeof server.ProblemView>>,
  KeysSame<Problem, z.infer<typeof server.ProblemView>>,
  Same<Job, server.JobView>,
  KeysSame<Job, server.JobView>,
  Same<JobAccepted, server.JobAccepted>,
  Same<JobOptions, server.JobOptions>,
  KeysSame<JobOptions, server.JobOptions>,
  Same<JobEvent, server.JobEvent>,
] = [true, true, true, true, true, true, true, true, true, true, true];

/** Does not compile when the server's catalogue of events and the one here drift apart. */
export const eventTypesMatch: [
  KeysSame<WorkspaceEvents, Record<EventType, unknown>>,
  Same<WorkspaceEvents, { [Type in EventType]: EventData<Type> }>,
  Same<MatchingEventType<'member.*'>, 'member.joined' | 'member.changed' | 'member.removed'>,
  Same<MatchingEventType<'ai.job.failed'>, 'ai.job.failed'>,
  Same<MatchingEventType<'ai.**'>, EventType>,
  Same<MatchingEventType<'**'>, EventType>,
] = [true, true, true, true, true, true];
