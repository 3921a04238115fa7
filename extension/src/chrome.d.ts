/** The part of the extension API that is used (developer.chrome.com/docs/extensions/reference/api). */
declare namespace chrome {
  interface ChromeEvent<Listener> {
    addListener(listener: Listener): void;
  }

  namespace runtime {
    interface Port {
      readonly name: string;
      postMessage(message: unknown): void;
      disconnect(): void;
      readonly onMessage: ChromeEvent<(message: unknown) => void>;
      readonly onDisconnect: ChromeEvent<() => void>;
    }
    const id: string;
    function connect(options: { name: string }): Port;
    function openOptionsPage(): Promise<void>;
    const onConnect: ChromeEvent<(port: Port) => void>;
  }

  namespace storage {
    interface StorageArea {
      get(key: string): Promise<Record<string, unknown>>;
      set(items: Record<string, unknown>): Promise<void>;
      remove(key: string): Promise<void>;
    }
    const local: StorageArea;
    const onChanged: ChromeEvent<(changes: Record<string, unknown>, area: string) => void>;
  }

  namespace permissions {
    function request(permissions: { origins: string[] }): Promise<boolean>;
    function contains(permissions: { origins: string[] }): Promise<boolean>;
  }

  namespace sidePanel {
    function setPanelBehavior(behavior: { openPanelOnActionClick: boolean }): Promise<void>;
  }
}
