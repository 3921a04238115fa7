import type { Orm } from '#src/db/orm.ts';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import type { Auth } from '#src/http/access-token.ts';
import { onlyOwner } from '#src/http/permissions.ts';
import { presentContact } from '#src/modules/contacts/contact.row.ts';
import { countryOf, findContactRows } from '#src/modules/contacts/contacts.query.ts';
import { findContacts } from '#src/modules/contacts/identify.query.ts';
import { isCountry, parsePhone } from '#src/modules/contacts/phone.ts';

/** Whose phone numbers these are, of the contacts the caller may see. @param phones in any spelling, at most 500 */
export async function lookUpContacts(orm: Orm, auth: Auth, phones: readonly string[]) {
  return inWorkspaceTx(orm, auth, async (em) => {
    const country = await countryOf(em);
    const parsed = phones.map((text) => (isCountry(country) ? parsePhone(text, country) : parsePhone(text)));
    const ids = await findContacts(
      em,
      parsed.map((phone) => ({ phone })),
    );
    const wanted = [...new Set(ids.filter((id) => id !== null))];
    const rows = await findContactRows(em, wanted, onlyOwner(auth, 'contacts'));
    const contacts = new Map(rows.map((row) => [row.id, presentContact(row)]));
    const data = phones.map((phone, at) => ({
      phone,
      e164: parsed[at] ?? null,
      contact: contacts.get(ids[at] ?? '') ?? null,
    }));
    return { data };
  });
}
