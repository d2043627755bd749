//! Many reads and a long table.

use serde_json::json;

use super::{ApiHarness, MAPS};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_reads_over_eight_connections_succeed() {
    let api = ApiHarness::start().await;
    let (connections, each) = (8, 250);
    let mut reading = tokio::task::JoinSet::new();
    for _ in 0..connections {
        let client = api.client.clone();
        reading.spawn(async move {
            let mut connection = client.connect().await;
            let request = client.request("GET", &format!("{MAPS}/cart"), &[], b"");
            for _ in 0..each {
                connection.write(&request).await.unwrap();
                assert_eq!(connection.response().await.code, 200);
            }
        });
    }
    reading.join_all().await;
}

#[tokio::test]
async fn table_of_a_thousand_pods_is_complete() {
    let api = ApiHarness::start().await;
    for i in 0..1000 {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": format!("p{i}"), "namespace": "shop"},
            "spec": {"containers": [{"name": "c", "image": "registry.example/cart:1"}]}});
        let pod = cluster::Object::from_value(pod).unwrap();
        api.world.lock().unwrap().create_object(pod).unwrap();
    }
    let accept = [("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io")];
    let (code, table) = api.client.send("GET", "/api/v1/pods", &accept, b"").await.json();
    assert_eq!((code, table["rows"].as_array().unwrap().len()), (200, 1002));
}
