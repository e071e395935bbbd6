// The worker: gets the scene once, then sorts for each view that it is told.

let sorter = null;
onmessage = ({data}) => {
  if (data.scene) {
    sorter = new Sorter(data.scene);
    return;
  }
  const order = sorter.sort(data);
  postMessage({order, ticket: data.ticket}, [order.buffer]);
};
