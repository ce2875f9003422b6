// What went wrong, and what to do about it, in words.

export function cameraTrouble(error) {
  if (!window.isSecureContext) {
    return "Browsers give the camera to secure pages only. Open this page by https, or on the machine itself by http://localhost.";
  }
  switch (error && error.name) {
    case "NotAllowedError":
      return "The camera was refused. Allow it in the address bar, then press start.";
    case "NotFoundError":
      return "No camera was found. Plug one in, then press start.";
    case "NotReadableError":
    case "AbortError":
      return "The camera is busy: another program uses it. Close that, then press start.";
    case "OverconstrainedError":
      return "That camera is not there any more. Choose another, then press start.";
    default:
      return "The camera cannot be used here. Try another browser.";
  }
}

export class ServerTrouble extends Error {
  constructor(status, retryAfter) {
    super(serverWords(status, retryAfter));
    this.status = status;
    this.retryAfter = retryAfter;
    // Trying again helps only when the reason may pass.
    this.mayPass = status === 0 || status === 429 || status === 503 || status === 404;
  }
}

function serverWords(status, retryAfter) {
  switch (status) {
    case 0: return "The server cannot be reached.";
    case 401: return "This server wants a key. Open the link that it printed when it started.";
    case 403: return "The server takes only its own page. Open its address itself.";
    case 404: return "Nobody is being drawn here now.";
    case 406: return "This browser and the server share no video format. Try another browser.";
    case 429: return "Too many tries. Waiting a moment.";
    case 503: return `The server is full. Trying again in ${retryAfter || 10} seconds.`;
    default: return `The server answered ${status}. Please try again.`;
  }
}
