/** Where the session is kept; shared by all contexts that should share it. Values are text. */
export interface Storage {
  get(key: string): Promise<string | undefined>;
  set(key: string, value: string): Promise<void>;
  remove(key: string): Promise<void>;
}

/** Keeps values for as long as the object lives. */
export function memoryStorage(): Storage {
  const values = new Map<string, string>();
  return {
    get: (key) => Promise.resolve(values.get(key)),
    set: (key, value) => Promise.resolve(void values.set(key, value)),
    remove: (key) => Promise.resolve(void values.delete(key)),
  };
}

/** The part of the Web Storage API that is used. */
export interface WebStorageArea {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
}

/** Keeps values in `localStorage` (shared by the tabs of one origin). */
export function webStorage(area: WebStorageArea): Storage {
  return {
    get: async (key) => area.getItem(key) ?? undefined,
    set: async (key, value) => area.setItem(key, value),
    remove: async (key) => area.removeItem(key),
  };
}

/** The part of `chrome.storage.StorageArea` that is used. */
export interface ChromeStorageArea {
  get(key: string): Promise<Record<string, unknown>>;
  set(items: Record<string, unknown>): Promise<void>;
  remove(key: string): Promise<void>;
}

/** Keeps values in `chrome.storage.local` or `.session` (shared by the service worker and all pages of the extension). */
export function chromeStorage(area: ChromeStorageArea): Storage {
  return {
    get: async (key) => {
      const value = (await area.get(key))[key];
      return typeof value === 'string' ? value : undefined;
    },
    set: (key, value) => area.set({ [key]: value }),
    remove: (key) => area.remove(key),
  };
}
