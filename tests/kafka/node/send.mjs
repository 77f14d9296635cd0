// Sends events as a shop does: `node send.mjs NAME URL KEY COUNT` sends COUNT orders, each of another
// customer whose id begins with NAME.

const [name, url, key, count] = process.argv.slice(2);
const orders = Array.from({ length: Number(count) }, (_, number) => ({
  userId: `${name}-${number}`,
  event: "Order Completed",
  properties: { order_id: `o-${number}`, revenue: 5.0 },
}));

function failed(error) {
  console.error("not sent:", error);
  process.exit(1);
}

const libraries = {
  async "node-segment"() {
    const { Analytics } = await import("@segment/analytics-node");
    const client = new Analytics({ writeKey: key, host: url });
    client.on("error", failed);
    orders.forEach((order) => client.track(order));
    await client.closeAndFlush();
  },

  async "node-rudderstack"() {
    const { default: Client } = await import("@rudderstack/rudder-sdk-node");
    const client = new Client(key, { dataPlaneUrl: url });
    let sent = 0;
    await new Promise((done) => {
      const count = (error) => (error ? failed(error) : ++sent === orders.length && done());
      orders.forEach((order) => client.track(order, count));
      client.flush();
    });
  },

  async "node-jitsu"() {
    const { jitsuAnalytics } = await import("@jitsu/js");
    for (const { userId, event, properties } of orders) {
      const client = jitsuAnalytics({ host: url, writeKey: key, errorPolicy: "throw" });
      await client.identify(userId);
      await client.track(event, properties);
    }
  },
};

await libraries[name]();
// Libraries keep timers and connections.
process.exit(0);
