// One connection to the server, made again by itself when it is lost.

import { ServerTrouble } from "./words.js";

const LOST_AFTER_MS = 2500;
const GATHERING_MS = 800;

// The token came in the address's fragment, which browsers send to nobody; it is kept for this tab.
export function token() {
  const found = /[#&]token=([^&]+)/.exec(location.hash);
  if (found) {
    sessionStorage.setItem("token", decodeURIComponent(found[1]));
    history.replaceState(null, "", location.pathname + location.search);
  }
  return sessionStorage.getItem("token");
}

export async function ask(path, options = {}) {
  const headers = new Headers(options.headers);
  const key = token();
  if (key) headers.set("Authorization", `Bearer ${key}`);
  let response;
  try {
    response = await fetch(path, { ...options, headers, cache: "no-store" });
  } catch {
    throw new ServerTrouble(0);
  }
  if (!response.ok) throw new ServerTrouble(response.status, Number(response.headers.get("Retry-After")));
  return response;
}

export async function newPeer() {
  const { iceServers } = await (await ask("/config")).json();
  return new RTCPeerConnection({ iceServers, bundlePolicy: "max-bundle" });
}

// ?codec=H264 in the address asks for one codec.
export function preferCodec(transceiver) {
  const wanted = new URLSearchParams(location.search).get("codec");
  if (!wanted || !transceiver.setCodecPreferences) return;
  const codecs = RTCRtpReceiver.getCapabilities("video").codecs;
  const first = codecs.filter((codec) => codec.mimeType.toLowerCase() === `video/${wanted.toLowerCase()}`);
  if (first.length) transceiver.setCodecPreferences([...first, ...codecs.filter((codec) => /\/(rtx|red|ulpfec)$/.test(codec.mimeType))]);
}

export async function offerOf(peer) {
  await peer.setLocalDescription();
  await new Promise((resolve) => {
    const done = () => peer.iceGatheringState === "complete" && resolve();
    peer.addEventListener("icegatheringstatechange", done);
    setTimeout(resolve, GATHERING_MS);
    done();
  });
  return peer.localDescription.sdp;
}

// Calls `lost` once, when the connection is gone for good or has been away for too long.
export function whenLost(peer, lost) {
  let timer = null, told = false;
  const tell = () => { if (!told) { told = true; lost(); } };
  peer.addEventListener("connectionstatechange", () => {
    clearTimeout(timer);
    if (peer.connectionState === "failed" || peer.connectionState === "closed") tell();
    else if (peer.connectionState === "disconnected") timer = setTimeout(tell, LOST_AFTER_MS);
  });
}

// Seconds of the network's round trip, and pictures a second that were shown.
export async function measured(peer) {
  let roundTrip = null, fps = null;
  for (const one of (await peer.getStats()).values()) {
    if (one.type === "candidate-pair" && one.nominated && one.currentRoundTripTime !== undefined) roundTrip = one.currentRoundTripTime;
    if (one.type === "inbound-rtp" && one.kind === "video") fps = one.framesPerSecond ?? null;
  }
  return { roundTrip, fps };
}

// Runs `attempt` until it holds. `attempt(lost)` makes a connection and calls `lost()` when that ends.
export class Keeper {
  constructor(attempt, tell) {
    this.attempt = attempt;
    this.tell = tell;
    this.wanted = false;
    this.tries = 0;
    this.timer = null;
    window.addEventListener("online", () => { if (this.timer !== null) this.again(0); });
  }
  start() {
    this.wanted = true;
    this.tries = 0;
    return this.run();
  }
  stop() {
    this.wanted = false;
    clearTimeout(this.timer);
    this.timer = null;
  }
  async run() {
    this.timer = null;
    try {
      await this.attempt(() => {
        if (!this.wanted) return;
        this.tell("The connection was lost. Trying again…", true);
        this.again(0.3);
      });
      this.tries = 0;
    } catch (trouble) {
      if (!this.wanted) return;
      this.tell(trouble.message, true);
      if (trouble instanceof ServerTrouble && trouble.mayPass) this.again(trouble.retryAfter || Math.min(8, 0.5 * 2 ** this.tries++));
      else this.stop();
    }
  }
  again(seconds) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.wanted && this.run(), seconds * 1000);
  }
}
