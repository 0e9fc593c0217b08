// Search in a site that is opened from disk: browsers start no worker there, so a hidden frame plays the worker.
(() => {
  if (location.protocol !== "file:") return;

  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.append(frame);
      this.scope = frame.contentWindow;
      const receive = ({ data }) => this.dispatchEvent(new MessageEvent("message", { data }));
      this.scope.answer = (data) => receive({ data: structuredClone(data) });
      this.scope.document.open();
      this.scope.document.write(`<body><script>
        postMessage = answer;
        importScripts = (...urls) => urls.reduce((done, src) => done.then(() => new Promise((resolve) => {
          const script = Object.assign(document.createElement("script"), { src, onload: resolve });
          document.body.append(script);
        })), Promise.resolve());
      <\/script><script src="${url}"><\/script></body>`);
      this.scope.document.close();
      this.ready = new Promise((resolve) => this.scope.addEventListener("load", resolve));
    }

    postMessage(data) {
      this.ready.then(() => this.scope.dispatchEvent(new MessageEvent("message", { data: structuredClone(data) })));
    }

    terminate() {
      this.scope.frameElement.remove();
    }
  };
})();
