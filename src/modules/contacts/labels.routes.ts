import { z } from 'zod';
import type { App } from '#src/http/app-type.ts';
import { nameText } from '#src/http/fields.ts';
import { Label } from '#src/modules/contacts/label.entity.ts';
import { crud, ownedView } from '#src/modules/crud.ts';
import type { Runtime } from '#src/runtime.ts';

export const LabelBody = z.strictObject({
  name: nameText(60),
  color: z.string().regex(/^#[0-9a-f]{6}$/i, 'must be a colour like #25d366'),
});
export const LabelView = z.object({ ...ownedView, ...LabelBody.shape }).meta({ id: 'Label' });

/** `/api/labels`. */
export function labelRoutes(rt: Pick<Runtime, 'orm'>) {
  const access = { read: 'contacts:read', write: 'contacts:write' } as const;
  const labels = crud(rt, Label, { name: 'label', body: LabelBody, view: LabelView, access });
  return async (app: App): Promise<void> => {
    app.get('/api/labels', labels.list);
    app.post('/api/labels', labels.create);
    app.get('/api/labels/:id', labels.get);
    app.patch('/api/labels/:id', labels.update);
    app.delete('/api/labels/:id', labels.remove);
  };
}
