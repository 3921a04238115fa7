import type { z } from 'zod';
import type {
  CampaignProgress,
  CampaignReport,
  ImportStart,
  NewCampaign,
  Operation,
  OperationAccepted,
  UploadedImport,
} from '../client/src/crm-types.ts';
import type * as operations from '#src/modules/bulk/operations.routes.ts';
import type * as campaigns from '#src/modules/campaigns/campaigns.schemas.ts';
import type * as imports from '#src/modules/imports/imports.schemas.ts';

type Same<Left, Right> = [Left] extends [Right] ? ([Right] extends [Left] ? true : never) : never;
type Matches<Ours, Theirs> = Same<Ours, Theirs> & Same<keyof Ours, keyof Theirs>;

/** Does not compile when the client's types of contacts and campaigns and the server's schemas drift apart. */
export const crmTypesMatch: [
  Matches<Operation, z.output<typeof operations.OperationView>>,
  Matches<OperationAccepted, z.output<typeof operations.OperationAccepted>>,
  Matches<UploadedImport, z.output<typeof imports.UploadedView>>,
  Matches<ImportStart, z.input<typeof imports.StartBody>>,
  Matches<NewCampaign, z.output<typeof campaigns.NewCampaignView>>,
  Matches<CampaignProgress, z.output<typeof campaigns.ProgressView>>,
  Matches<CampaignReport, z.output<typeof campaigns.ReportView>>,
] = [true, true, true, true, true, true, true];
