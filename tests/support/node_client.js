// Calls a server on this machine with Google's own client for Node.js, and prints the results as JSON.
// Usage: node node_client.js PORT [rest]
const {CloudTasksClient} = require('@google-cloud/tasks');
const {credentials} = require('@grpc/grpc-js');
const {PassThroughClient} = require('google-auth-library');

const address = {servicePath: '127.0.0.1', port: Number(process.argv[2])};
const client = new CloudTasksClient(
  process.argv[3] === 'rest'
    ? {...address, fallback: true, protocol: 'http', authClient: new PassThroughClient()}
    : {...address, sslCreds: credentials.createInsecure()}
);
const place = ['tutorial', 'us-central1'];
const id = process.argv[3] === 'rest' ? 'node-rest' : 'node';
const parent = client.queuePath(...place, id);
const short = name => name.split('/').pop();
const run = async (call, request) => (await call.call(client, request))[0];
const refused = async (call, request) => {
  try {
    await call.call(client, request);
    return 'no error';
  } catch (error) {
    return [error.code, error.details];
  }
};

async function main() {
  const results = {};
  const queue = await run(client.createQueue, {
    parent: client.locationPath(...place),
    queue: {name: parent},
  });
  results.rate = queue.rateLimits.maxDispatchesPerSecond;
  results.paused = (await run(client.pauseQueue, {name: parent})).state;
  const task = {
    name: client.taskPath(...place, id, 'first'),
    appEngineHttpRequest: {
      httpMethod: 'POST',
      relativeUri: '/node',
      headers: {'Content-Type': 'text/plain'},
      body: Buffer.from('from node').toString('base64'),
    },
  };
  const created = await run(client.createTask, {parent, task});
  results.created = [short(created.name), created.appEngineHttpRequest.relativeUri];
  results.duplicate = await refused(client.createTask, {parent, task});
  for (const name of ['second', 'third']) {
    await run(client.createTask, {parent, task: {...task, name: client.taskPath(...place, id, name)}});
  }
  results.listed = (await run(client.listTasks, {parent})).map(each => short(each.name));
  const got = await run(client.getTask, {name: created.name, responseView: 'FULL'});
  results.body = Buffer.from(got.appEngineHttpRequest.body, 'base64').toString();
  await run(client.runTask, {name: created.name});
  await run(client.deleteTask, {name: client.taskPath(...place, id, 'second')});
  results.unknown = await refused(client.getTask, {name: client.taskPath(...place, id, 'second')});
  await run(client.purgeQueue, {name: parent});
  results.purged = (await run(client.listTasks, {parent})).length;
  results.resumed = (await run(client.resumeQueue, {name: parent})).state;
  await run(client.deleteQueue, {name: parent});
  results.queues = (await run(client.listQueues, {parent: client.locationPath(...place)})).map(each => short(each.name));
  console.log(JSON.stringify(results));
  await client.close();
}

main();
