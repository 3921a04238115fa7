import type { EntityManager } from '@mikro-orm/postgresql';
import type { z } from 'zod';

/** A bulk operation under way, as a step sees it. */
export interface Operation<Input, State> {
  workspaceId: string;
  id: string;
  /** Who asked for it. */
  userId: string;
  input: Input;
  state: State;
  counts: Readonly<Record<string, number>>;
  done: number;
}

/** What steps may use of the installation. */
export interface StepResources {
  appSecret: string;
}

/** What a step came to; all of it is committed with what the step did. */
export interface Step<State> {
  state: State;
  /** Rows done so far, and how many there are where that is known. */
  done: number;
  total?: number;
  /** By outcome, of all steps so far: `{created: 12, skipped: 3}`. */
  counts: Record<string, number>;
  isOver: boolean;
}

/** A kind of work over many rows. */
export interface OperationKind<Input = unknown, State = unknown> {
  /** `contacts.import`; what people see, and what stands in the row. */
  name: string;
  input: z.ZodType<Input>;
  state: z.ZodType<State>;
  /**
   * Does the next part, of a second or so, in the transaction it is given: killed anywhere, it was not done, and is done again from the same
   * state. What it must not do again is therefore in that transaction, or nowhere.
   * @throws AppError to end the operation with that problem; anything else is tried again, five times
   */
  step(em: EntityManager, operation: Operation<Input, State>, resources: StepResources): Promise<Step<State>>;
  /** Told in the transaction that ends an operation before it is done; what its steps did stays. */
  cutShort?(em: EntityManager, operation: Operation<Input, State>, status: 'failed' | 'cancelled'): Promise<void>;
}

/** Keeps a kind's own types, and lets it stand in the list of all. */
export function defineOperation<Input, State>(kind: OperationKind<Input, State>): OperationKind {
  const typed = (operation: Operation<unknown, unknown>): Operation<Input, State> => ({
    ...operation,
    input: kind.input.parse(operation.input),
    state: kind.state.parse(operation.state),
  });
  return {
    ...kind,
    step: (em, operation, resources) => kind.step(em, typed(operation), resources),
    cutShort: async (em, operation, status) => {
      // What an older version wrote and this one cannot read has to end all the same.
      if (!kind.input.safeParse(operation.input).success || !kind.state.safeParse(operation.state).success) return;
      await kind.cutShort?.(em, typed(operation), status);
    },
  };
}
